// Package docker asks Docker, on the Unix socket that the host serves, for what
// changes nothing. Calls name no version of the API, so that Docker answers in its newest
// form: callers read of an answer what has been the same in all of them.
//
// [Client] is safe for concurrent use. Whatever it returns to be read ends with the
// context of its call.
package docker
