package main

import "testing"

func TestReported(t *testing.T) {
	const out = "goos: linux\nBenchmarkHeap100k-2   \t       1\t 926314285 ns/op\t       158.3 MB\nBenchmarkOther-2 1 5 ns/op 7 MB\nBenchmarkHeap100k-2 1 9 ns/op 160 MB 12 B/op\nPASS\n"
	got, err := reported([]byte(out), "BenchmarkHeap100k", "MB")
	if err != nil || len(got) != 2 || got[0] != 158.3 || got[1] != 160 {
		t.Errorf("%v, %v", got, err)
	}
	for _, unit := range []string{"GB", "PASS"} {
		if got, err := reported([]byte(out), "BenchmarkHeap100k", unit); err == nil {
			t.Errorf("%s: %v", unit, got)
		}
	}
	if _, err := reported([]byte("BenchmarkHeap100k-2 1 x MB\n"), "BenchmarkHeap100k", "MB"); err == nil {
		t.Error("no number is no error")
	}
}
