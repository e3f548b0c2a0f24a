// Package ui renders for the terminal: diagnostics with source snippets, plans, progress, summaries
// and prompts.
//
// Every string from a configuration or a host passes through plain.Escape before it is written, so
// that neither can move the cursor, set the clipboard, reorder text or forge a prompt. Colours are
// added afterwards.
package ui
