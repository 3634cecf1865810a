// Package geo says where an address is and whose, by databases in MaxMind's format
// with countries, cities or autonomous systems, as MaxMind and DB-IP publish them.
//
// A database is read into memory as a whole: a file that is mapped and then cut in
// place by a careless update would end the process. What Open returns has been
// looked through for a part, and what is broken in the rest shows as an address
// about which nothing is known.
//
// A look-up walks the tree of the database. Records are read once and kept, up to
// 16,384 of them, so that a look-up of what was asked for lately allocates nothing;
// there are a few hundred records of countries, and some 80,000 autonomous systems.
// A record that is kept takes some 300 bytes.
//
// A Database may be used from any goroutine.
package geo
