package document

// Canonical is what the tests compare.
var Canonical = canonical
