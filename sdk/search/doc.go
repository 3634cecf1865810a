// Package search says what a text is searched for, so that every sink that answers
// queries finds the same.
//
// A word is a run of letters and digits, of marks that stand on letters, and of
// characters of private use; everything else separates words. Words compare in lower
// case and without accents; of a long one the first MaxWord bytes count. An IP address is
// a word too, beside its parts: its numbers are in so many texts that an index is slow to
// find them in a row.
//
// A query is a list of terms that an event must contain all of, in any order:
//
//	failed root             both words
//	"failed password"       one word after the other; quotes need no closing
//	10.0.0.7                this address, not 10.0.0.7.5; also within ::ffff:10.0.0.7
//	2001:db8::1             this address, however it is written
//	10.0.*                  the same as "10 0"; 10.0.0* the same as "10 0 0*"
//	auth*                   a word that begins so
//	"invalid user adm*"     a phrase whose last word begins so
//
// No character has another meaning, so that a text from anywhere can be asked for as it
// is.
package search
