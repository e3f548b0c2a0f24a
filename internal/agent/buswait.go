package agent

import (
	"context"
	"errors"
	"time"
)

// A service that has a name on the system bus has started, for systemd, when it has the name, and
// has reloaded when it was sent a signal. What it does after that may be what cuts the connection.

const (
	firewalldName = "org.fedoraproject.FirewallD1"
	// reloadedSignal is what firewalld sends when its rules are those of its files
	// (firewalld.dbus(5)).
	reloadedSignal = "Reloaded"
	// reloadTimeout is for a firewalld with large sets of addresses.
	reloadTimeout = 2 * queryTimeout
	// A service is asked up to busPings times, busPause apart: it may answer before it has noticed
	// the signal, which another of its threads receives.
	busPings, busPause = 100, 100 * time.Millisecond
)

// serviceWatch is a connection to the bus from before the start or reload of a service. Without a
// bus it is nil.
type serviceWatch struct {
	bus     *busConnection
	name    string
	reports bool // the service says when it has reloaded
	pause   time.Duration
	cancel  context.CancelFunc
}

// watchService begins to watch a service that is about to start, or to reload.
func watchService(path, name string, reloads bool) *serviceWatch {
	reports, timeout := reloads && name == firewalldName, queryTimeout
	if reports {
		timeout = reloadTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	bus, err := openBus(ctx, path)
	if err != nil {
		cancel()
		return nil
	}
	if reports {
		const dbus = "org.freedesktop.DBus"
		rule := "type='signal',sender='" + name + "',member='" + reloadedSignal + "'"
		m, err := bus.call(dbus, "/org/freedesktop/DBus", dbus, "AddMatch", rule)
		reports = err == nil && m.kind == busReply
	}
	return &serviceWatch{bus, name, reports, busPause, cancel}
}

func (w *serviceWatch) close() {
	if w != nil {
		w.cancel()
		closeFD(w.bus.fd)
	}
}

// settled waits until the service has done what systemd asked for, as far as that can be known.
// The second answer counts: the service may have read the first question before systemd's signal.
// Not every service answers, so none has to; but firewalld says that it has reloaded, or has not.
func (w *serviceWatch) settled() error {
	if w == nil {
		return nil
	}
	for n := 0; n < 2 || w.reports && !w.bus.reloaded; n++ {
		if n == busPings {
			return &failure{message: "firewalld answers, but has not reloaded: firewall-cmd --check-config says what is wrong with its files"}
		}
		if n >= 2 {
			time.Sleep(w.pause)
		}
		_, err := w.bus.call(w.name, "/", "org.freedesktop.DBus.Peer", "Ping")
		if w.reports && errors.Is(err, errNoResponse) {
			return &failure{message: "firewalld has not reloaded within " + period(reloadTimeout)}
		}
		if err != nil {
			return nil
		}
	}
	return nil
}
