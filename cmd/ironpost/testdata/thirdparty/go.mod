module example.org/parser-acme

go 1.26.0

require github.com/ironpost/ironpost v0.0.0

replace github.com/ironpost/ironpost => ../../../..
