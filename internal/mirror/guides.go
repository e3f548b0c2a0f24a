package mirror

// guide is an edition of AlmaLinux's guide for mirror operators: what it tells them to type, as data. A mirror block may
// override each value by itself.
type guide struct {
	name string
	// Sizes of the file system, in the notation of resources.ParseSize; the second pair is for a host that has Kitten too.
	minimum, recommended             string
	kittenMinimum, kittenRecommended string
	// rsync has the arguments of rsync that stand before the upstream.
	rsync  []string
	every  string
	main   module
	kitten module
}

// module is one tree of AlmaLinux's upstream.
type module struct {
	upstream string // rsync:// URL; the final slash means: its content
	lock     string // the file that flock(1) locks while a sync runs
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

// guides holds every edition; the first is the default.
var guides = []guide{
	{
		name:    "classic",
		minimum: "300GB", recommended: "500GB",
		// The classic edition is older than Kitten and gives no size for it.
		kittenMinimum: "300GB", kittenRecommended: "500GB",
		rsync: []string{"-avSH", "-f", "R .~tmp~", "--delete-delay", "--delay-updates"},
		every: "3h",
		main:  almalinux, kitten: almalinuxKitten,
	},
	{
		name:    "current",
		minimum: "1.5TB", recommended: "2TB",
		kittenMinimum: "2TB", kittenRecommended: "2.5TB",
		rsync: []string{"-rlptvSH", "--exclude=.~tmp~", "--delete-delay", "--delay-updates"},
		every: "3h",
		main:  almalinux, kitten: almalinuxKitten,
	},
}
