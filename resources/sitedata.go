package resources

// What all web servers have in common, in the words of their configurations.

// The files that list what is new, those that are named after their digest, and packages, as
// regular expressions of URL paths; and the values of Cache-Control for them.
const (
	freshFiles    = `/(TIME|repomd\.xml|repomd\.xml\.asc|\.?treeinfo|InRelease|Release|Release\.gpg|lastupdate|lastsync)$`
	digestFiles   = `/repodata/[0-9a-f]{32,128}-`
	packageFiles  = `\.(rpm|drpm|deb|udeb)$`
	freshCache    = "no-cache"
	foreverCached = "public, max-age=31536000, immutable"
)

// tlsCiphers are those of Mozilla's intermediate configuration, version 5.7 of 2023-07-21
// (https://ssl-config.mozilla.org/guidelines/5.7.json), without the ones that need a file of
// Diffie-Hellman parameters.
const tlsCiphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" +
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
