package catalog

// Nearest returns the known word that a typing mistake most likely meant; empty when none comes near.
func Nearest(word string, known []string) string { return nearest(word, known) }
