package lab_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// BenchmarkBoot measures from Boot to an answering sshd, for several hosts at
// once.
func BenchmarkBoot(b *testing.B) {
	for _, n := range []int{1, 10, 30} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			l := labtest.Lab(b)
			specs := make([]lab.HostSpec, n)
			for i := range specs {
				specs[i].Name = fmt.Sprintf("bench%d", i)
			}
			for b.Loop() {
				hosts, err := l.BootAll(context.Background(), specs...)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				for _, h := range hosts {
					if err := h.Remove(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkOpen measures a lab without hosts, with the base tree in the cache.
func BenchmarkOpen(b *testing.B) {
	labtest.Lab(b)
	for b.Loop() {
		l, err := lab.Open(context.Background(), lab.Options{Name: "bench-open"})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Down(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
