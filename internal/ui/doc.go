// Package ui renders for the terminal: diagnostics with source snippets, plans, progress, summaries and questions.
//
// Every string that comes from a configuration or from a host passes through Escape before it is written, so neither can
// move the cursor, set the clipboard, reorder text or forge a prompt. Colours are added afterwards.
package ui
