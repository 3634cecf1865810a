// Package slack writes alerts and actions as the body of a Slack incoming webhook,
// which Mattermost, Rocket.Chat and Discord (behind /slack) take as well.
//
// # Hostile text
//
// User names, paths and log lines are written by attackers. None of it can become
// a link, a mention or another message's form: Slack's own escapes (&, <, >) are
// used, an at sign and "://" are parted by a zero-width space, brackets that would
// make a Markdown link too, line breaks and control characters become blanks,
// characters that turn the direction of text are left out, and values stand in code
// spans, whose delimiter they cannot hold. Slack is asked to look for no links
// ("parse": "none") and to fetch none.
//
// # Bounds
//
// Every text is cut; a body has less than 32 KiB.
package slack
