// Package cargo reads Cargo.lock: which crates are locked, with their hashes and
// what each needs.
//
// Cargo writes the file itself, a small and regular part of TOML, a line a value.
// That is what is read here, a few hundred nanoseconds a crate. What is written in
// another way, by hand or by a newer Cargo, is not guessed at: [Parse] says that it
// does not know the line, and the file goes to a complete reader of TOML.
// See https://doc.rust-lang.org/cargo/guide/cargo-toml-vs-cargo-lock.html and
// cargo's src/cargo/core/resolver/encode.rs for the form.
package cargo
