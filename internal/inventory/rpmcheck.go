package inventory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// The forms of rpm databases, as far as one must know them to tell that the library can be trusted with a file.

const (
	ndbMagic      = "RpmP"
	ndbSlotMagic  = "Slot"
	ndbBlobMagic  = "BlbS"
	ndbPage       = 4096
	ndbSlot       = 16 // bytes of a slot, of a block, and of a blob's header
	ndbHeaderSize = 2 * ndbSlot
	maxNDBPages   = 2048 // the library's own bound

	bdbHeader      = 26 // bytes at the start of each page
	bdbMagic       = 0x061561
	bdbOverflow    = 7
	bdbHash        = 13
	bdbHashOld     = 2
	bdbOffPage     = 3
	bdbOffPageSize = 12

	maxHeader     = 64 << 20 // bytes of one package's header
	maxHeaderTags = 0xffff   // rpm's own bound
)

var errDamaged = errors.New("not a package database, or a damaged one")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, args...))
}

// checkHeader compares the lengths that a header claims with what is there.
func checkHeader(blob []byte) error {
	if len(blob) < 8 || len(blob) > maxHeader {
		return damaged("a header of %d bytes", len(blob))
	}
	tags, data := int64(binary.BigEndian.Uint32(blob)), int64(binary.BigEndian.Uint32(blob[4:]))
	if tags < 1 || tags > maxHeaderTags || 8+16*tags+data != int64(len(blob)) {
		return damaged("a header of %d bytes that claims %d tags and %d bytes", len(blob), tags, data)
	}
	return checkTags(blob[8:8+16*tags], blob[8+16*tags:])
}

// checkTags makes sure that each tag of a header has its values: the library looks for the end of each text that a tag
// claims, from the start again when there is none, and a tag may claim four thousand million. Values do not overlap, so
// all of them take no more than there is.
func checkTags(tags, data []byte) error {
	left := len(data)
	for ; len(tags) > 0; tags = tags[16:] {
		kind, at, count := binary.BigEndian.Uint32(tags[4:]), binary.BigEndian.Uint32(tags[8:]), binary.BigEndian.Uint32(tags[12:])
		if int64(at) > int64(len(data)) || int64(count) > int64(left) {
			return damaged("a tag with %d values at %d of %d bytes", count, at, len(data))
		}
		size, ok := valuesSize(kind, int(count), data[at:])
		if left -= size; !ok || left < 0 {
			return damaged("a tag with %d values of type %d at %d of %d bytes", count, kind, at, len(data))
		}
	}
	return nil
}

// valuesSize is how many bytes the values of one tag take; ok is false when they are not there.
func valuesSize(kind uint32, count int, data []byte) (size int, ok bool) {
	switch kind {
	case 0, 1, 2, 7: // null, char, int8, binary
		size = count
	case 3: // int16
		size = 2 * count
	case 4: // int32
		size = 4 * count
	case 5: // int64
		size = 8 * count
	case 6, 8, 9: // texts, each ended by a zero
		for range count {
			end := bytes.IndexByte(data[size:], 0)
			if end < 0 {
				return 0, false
			}
			size += end + 1
		}
	default:
		return 0, false
	}
	return size, size <= len(data)
}

// singleNDB is an NDB file with one package.
func singleNDB(blob []byte) []byte {
	b := make([]byte, ndbPage, ndbPage+ndbSlot+len(blob))
	copy(b, ndbMagic)
	binary.LittleEndian.PutUint32(b[12:], 1) // pages of slots
	for at := ndbHeaderSize; at < ndbPage; at += ndbSlot {
		copy(b[at:], ndbSlotMagic)
	}
	slot := b[ndbHeaderSize:]
	binary.LittleEndian.PutUint32(slot[4:], 1)
	binary.LittleEndian.PutUint32(slot[8:], ndbPage/ndbSlot)
	b = append(b, ndbBlobMagic...)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, 0) // a checksum that the library does not look at
	b = binary.LittleEndian.AppendUint32(b, uint32(len(blob)))
	return append(b, blob...)
}

// checkNDB makes sure that every slot is one and names a blob within the file.
func checkNDB(data []byte) error {
	if len(data) < ndbPage {
		return damaged("%d bytes", len(data))
	}
	pages := binary.LittleEndian.Uint32(data[12:])
	if pages == 0 || pages > maxNDBPages || int64(pages)*ndbPage > int64(len(data)) {
		return damaged("%d pages of slots in %d bytes", pages, len(data))
	}
	var total int64
	for at := ndbHeaderSize; at < int(pages)*ndbPage; at += ndbSlot {
		slot := data[at : at+ndbSlot]
		if string(slot[:4]) != ndbSlotMagic {
			return damaged("no slot at %d", at)
		}
		index := binary.LittleEndian.Uint32(slot[4:])
		if index == 0 {
			continue
		}
		blob := int64(binary.LittleEndian.Uint32(slot[8:])) * ndbSlot
		if blob+ndbSlot > int64(len(data)) || string(data[blob:blob+4]) != ndbBlobMagic || binary.LittleEndian.Uint32(data[blob+4:]) != index {
			return damaged("no package %d at %d", index, blob)
		}
		size := int64(binary.LittleEndian.Uint32(data[blob+12:]))
		if blob+ndbSlot+size > int64(len(data)) {
			return damaged("package %d is cut off", index)
		}
		if total += size; total > int64(len(data)) {
			return damaged("packages that overlap")
		}
	}
	return nil
}

// bdbFile is a Berkeley DB hash file.
type bdbFile struct {
	data  []byte
	page  int // bytes of one
	order binary.ByteOrder
}

// checkBDB walks the file as the library does: each page of a hash, each value on it, and the pages that the value goes
// on to. No page may be part of two values.
func checkBDB(data []byte) error {
	f, last, err := openBDB(data)
	if err != nil {
		return err
	}
	seen := make([]bool, last+1)
	for n := range last + 1 {
		page := f.at(n)
		if kind := page[25]; kind != bdbHash && kind != bdbHashOld {
			continue
		}
		if err := f.checkHash(page, seen); err != nil {
			return fmt.Errorf("page %d: %w", n, err)
		}
	}
	return nil
}

func openBDB(data []byte) (f bdbFile, last int, err error) {
	if len(data) < 512 {
		return f, 0, damaged("%d bytes", len(data))
	}
	f = bdbFile{data: data, order: binary.LittleEndian}
	if f.order.Uint32(data[12:]) != bdbMagic {
		f.order = binary.BigEndian
	}
	if f.order.Uint32(data[12:]) != bdbMagic {
		return f, 0, damaged("it is of no kind that rpm writes")
	}
	size := f.order.Uint32(data[20:])
	if size < 512 || size > 65536 || size&(size-1) != 0 {
		return f, 0, damaged("pages of %d bytes", size)
	}
	f.page = int(size)
	last = int(f.order.Uint32(data[32:]))
	if last >= len(data)/f.page {
		return f, 0, damaged("it ends before its last page")
	}
	return f, last, nil
}

// bdbEnd is where the library can count to on a page: its offsets have 16 bits.
func bdbEnd(page []byte) int { return min(len(page), 0xffff) }

func (f bdbFile) at(n int) []byte { return f.data[n*f.page : (n+1)*f.page] }

// checkHash follows the values of one page.
func (f bdbFile) checkHash(page []byte, seen []bool) error {
	entries := int(f.order.Uint16(page[20:]))
	if entries%2 != 0 || bdbHeader+2*entries > bdbEnd(page) {
		return damaged("%d entries", entries)
	}
	for i := 1; i < entries; i += 2 {
		value := int(f.order.Uint16(page[bdbHeader+2*i:]))
		if value >= len(page) {
			return damaged("a value behind its end")
		}
		if page[value] != bdbOffPage {
			continue
		}
		if value+bdbOffPageSize > bdbEnd(page) {
			return damaged("a value behind its end")
		}
		if err := f.checkChain(int(f.order.Uint32(page[value+4:])), seen); err != nil {
			return err
		}
	}
	return nil
}

// checkChain follows one value from page to page.
func (f bdbFile) checkChain(n int, seen []bool) error {
	for n != 0 {
		if n >= len(seen) || seen[n] {
			return damaged("a value that goes on to page %d, which is not there or is another's", n)
		}
		seen[n] = true
		page := f.at(n)
		next := int(f.order.Uint32(page[16:]))
		if page[25] != bdbOverflow || next == 0 && bdbHeader+int(f.order.Uint16(page[22:])) > bdbEnd(page) {
			return damaged("page %d is not the rest of a value", n)
		}
		n = next
	}
	return nil
}
