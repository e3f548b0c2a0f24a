package report

import "github.com/mirrorform/mirrorform/internal/ui"

// JSON renders a result as one line of JSON without a final newline, as ui.JSON does.
func (r *Result) JSON() ([]byte, error) { return ui.JSON(r) }
