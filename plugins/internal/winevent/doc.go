// Package winevent makes fields of the nested JSON of Windows events.
//
// The JSON is that of evtx_dump and of the tools that follow it: a document
// {"Event": {"System": {...}, "EventData": {...}}}, where an element with
// attributes has them under "#attributes" and its text under "#text".
//
// # Names
//
// A child of EventData is a field of its name, and so is what lies below the one
// element of UserData; deeper names are joined by dots. Of System an element is a
// field of its name, and an attribute is one of the name of its element, an
// underscore and its own (Provider_Name), as the specification of Sigma rules has
// it. An event of the Security log about a new process has its fields also under
// the names that Sigma gives them (Image for NewProcessName).
//
// # Concurrency
//
// An Event is not changed after Parse returned it and may be shared.
package winevent
