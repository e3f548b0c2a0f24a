package mirror

// guide is an edition of AlmaLinux's guide for mirror operators, as data. A mirror block can
// override each value.
type guide struct {
	name string
	date string // month in which AlmaLinux published its sizes
	// advice explains a warning about the recommended size; "" if the size is the edition's own.
	advice string
	// Sizes of the file system, as resources.ParseSize reads them. The second pair is for a host that
	// also has Kitten.
	minimum, recommended             string
	kittenMinimum, kittenRecommended string
	// rsync has the arguments of rsync before the upstream.
	rsync  []string
	every  string
	main   module
	kitten module
	// freshness is the file that the upstream's root must have, or "".
	freshness string
}

// module is one tree of AlmaLinux's upstream.
type module struct {
	upstream string // rsync:// URL; with its final slash, rsync copies the content of the directory
	lock     string // file that flock(1) locks while a sync runs
}

var (
	almalinux = module{
		upstream: "rsync://rsync.repo.almalinux.org/almalinux/",
		lock:     "/var/run/almalinux_rsync.lock",
	}
	almalinuxKitten = module{
		upstream: "rsync://rsync.kitten.repo.almalinux.org/almalinux-kitten/",
		lock:     "/var/run/almalinux_kitten_rsync.lock",
	}
)

// guides has all editions. The first is the default.
var guides = []guide{
	{
		name: "classic", date: "October 2021",
		// The edition recommends 500GB, in which the tree no longer fits. What is smaller than the
		// minimum of the current edition is a warning. The classic edition is older than Kitten.
		minimum: "300GB", recommended: "1.5TB",
		kittenMinimum: "300GB", kittenRecommended: "2.5TB",
		advice: "the sizes of guide = \"classic\" are of October 2021; since May 2025 AlmaLinux's guide has 1.5TB as the " +
			"minimum, and 2.5TB with Kitten. The tree has about 1 TB, and grows with each release",
		rsync: []string{"-avSH", "-f", "R .~tmp~", "--delete-delay", "--delay-updates"},
		every: "3h",
		main:  almalinux, kitten: almalinuxKitten,
		freshness: "TIME",
	},
	{
		name: "current", date: "May 2025",
		minimum: "1.5TB", recommended: "2TB",
		kittenMinimum: "2TB", kittenRecommended: "2.5TB",
		rsync: []string{"-rlptvSH", "--exclude=.~tmp~", "--delete-delay", "--delay-updates"},
		every: "3h",
		main:  almalinux, kitten: almalinuxKitten,
		freshness: "TIME",
	},
}

// otherGuide returns what a mirror of another distribution uses of the default guide: how it syncs,
// but neither sizes nor an upstream.
func otherGuide(name string) guide {
	return guide{rsync: guides[0].rsync, every: guides[0].every, main: module{lock: "/run/" + name + "_rsync.lock"}}
}
