// Package sigma reads detection rules in the Sigma language, version 2.1: rules,
// filters and correlations.
//
// A Collector reads document after document, Parse a file. What is right comes back
// as Rule, Filter and Correlation; what is not is a Problem that names file, line,
// field, what was found and the mend, and the rest is loaded. YAML that is none of
// them is passed over and counted. Package rule walks the files, package match runs
// rules over events, package engine runs correlations.
//
// # The language
//
// The specification is https://github.com/SigmaHQ/sigma-specification. Where it
// leaves a choice, this is what was chosen:
//
//   - Texts are compared without regard to case by Unicode simple folding, as
//     strings.EqualFold does, also those that a modifier encoded. cased and re
//     regard case.
//   - A field without a value is null; one that is missing is null too, but does
//     not exist. The empty text is neither.
//   - A field with several values fits when one of them does.
//   - An unquoted number is looked for as it is written and in decimal, in values
//     that are numbers or texts.
//   - A keyword is looked for in every value of the event, and in its raw line if
//     it has one; not in the names of fields.
//   - neq is the negation of its whole item, so it holds for an event without the
//     field, and with a list for what is none of it.
//   - windash changes the dashes that begin a word and follow none.
//   - A part of base64offset that is empty, because the value is too short, is left
//     out.
//   - re looks for its pattern anywhere. Patterns are RE2: look-around and
//     back-references are refused by name.
//   - Parts of a date are those that are written; a week is that of ISO 8601. They
//     may be compared with lt, lte, gt, gte.
//   - expand takes its values from Options; they may have wildcards. A rule with a
//     placeholder that has none is rejected.
//   - "1 of" and "all of" never mean a search identifier that begins with _, and a
//     pattern that fits none is refused.
//   - A filter is joined by and, so one that suppresses has "not" in its condition;
//     one without is a warning.
//   - Correlations have, beside the types of version 2.0, value_sum, value_avg and
//     value_percentile, and for the temporal ones a condition over their rules.
//
// What belongs to Sigma 1 alone is refused with advice: aggregations behind a
// pipe, timeframe, collections with action.
//
// # Bounds
//
// The Max constants bound files, nesting, values, wildcards, patterns, and the
// tests that the values of a rule become. Aliases count each time they are used.
//
// # Concurrency
//
// A Collector is for one goroutine. What it returned from Finish is not changed
// after that, shares parts, and may be shared.
package sigma
