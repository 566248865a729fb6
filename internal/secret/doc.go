// Package secret finds keys, tokens and passwords in the files of an image, without ever handing one on: what it returns
// says what was found and where, never what it is.
//
// Tokens are known by the rules of gitleaks. Their regular expressions, words and allow lists are used as they are, in a
// loop of this package's own: gitleaks' detector takes time that grows with the square of what a line holds, minutes
// for one hostile file. Private keys are known by what is in them, passwords in files of known form by the files.
//
// A file is searched in windows, and no more often than honest files need. One that was not searched to its end says so
// (NotSearched).
package secret
