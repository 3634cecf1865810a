// Package npm reads package-lock.json and npm-shrinkwrap.json in the forms 2 and 3,
// which list every package by the folder that it is installed to: with its
// version, hash and licence, and what it needs. Of the form 1, which npm 7 stopped
// writing, [Parse] says that it is not its own.
// See https://docs.npmjs.com/cli/configuring-npm/package-lock-json.
package npm
