package ui

import (
	"io"
	"slices"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// liveDisplay draws a Progress at the bottom of the terminal, ten times a second. Text written to
// it appears above. It is one bar of mpb: the bar's own line is the summary, its upward extension
// are the hosts.
type liveDisplay struct {
	container *mpb.Progress
	bar       *mpb.Bar
}

func newLiveDisplay(p *Progress) *liveDisplay {
	terminal := p.ui.err
	// mpb sees no terminal in a redraw. Its width is then the limit of the lines of a frame, too.
	d := &liveDisplay{container: mpb.New(
		mpb.WithOutput(&redraw{terminal: terminal}),
		mpb.WithAutoRefresh(),
		mpb.WithWidth(maxFrame),
		mpb.WithRefreshRate(100*time.Millisecond),
	)}
	// mpb calls the filler and then the extender in each frame; both draw everything and take their
	// part. The last column stays free, since some terminals wrap a line that fills it.
	frame := func() []string {
		return p.draw(terminal.width()-1, terminal.height()-1)
	}
	sum := mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
		lines := frame()
		_, err := io.WriteString(w, lines[len(lines)-1])
		return err
	})
	hosts := mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
		lines := frame()
		lines = lines[:len(lines)-1]
		slices.Reverse(lines) // mpb puts the first line next to the bar
		_, err := io.WriteString(w, joinRows(lines))
		return err
	})
	d.bar = d.container.MustAdd(0, sum, mpb.BarFillerTrim(), mpb.BarExtender(hosts, true))
	return d
}

// Write prints whole lines above the display.
func (d *liveDisplay) Write(b []byte) (int, error) { return d.container.Write(b) }

// stop removes the display.
func (d *liveDisplay) stop() {
	d.bar.Abort(true)
	d.container.Wait()
}
