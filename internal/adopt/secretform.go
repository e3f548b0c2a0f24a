package adopt

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// A secret is found by its form, by the name beside it, or by its place. It is better to leave out
// one line too many: what is left out can be read on the host.

// form is what a secret looks like in a line.
type form struct {
	pattern *regexp.Regexp
	is      string
}

// forms are secrets that have no suspicious name beside them.
var forms = []form{
	{regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY|AGE-SECRET-KEY-1|BEGIN PGP PRIVATE`), "a private key"},
	{regexp.MustCompile(`(?i)://[^/\s@]*@|://[^/\s:@]*:[^\s@]*@`), "a user in a URL"},
	{regexp.MustCompile(`\S@\S*::`), "a user of an rsync module"},
	{regexp.MustCompile(`(?i)\brsync_(password|proxy)\b|\bsshpass\b|\bchpasswd\b|authorization|secure_link|` +
		`setcredential`), "credentials"},
	{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[\w+/=.~-]{6,}`), "HTTP credentials"},
	{regexp.MustCompile(`\b(ghp|gho|ghu|ghs|ghr|glpat|glrt|gldt|npm|pypi|dckr_pat|hf|shpat|tskey|dop_v1|hvs|` +
		`xox[abeoprs]|` +
		`sk|rk|pk|whsec|github_pat|sntrys|glc|glsa|atlasv1|nvapi|gsk|lin_api|figd|PMAK|NRAK|EAAC|` +
		`ops)[-_][\w-]{8,}`), "a token"},
	{regexp.MustCompile(`\b(AKIA|ASIA|AIza|ya29\.|SG\.|eyJ)[\w.-]{10,}|\b\d{8,10}:[\w-]{20,}|\bv\d\.public\.`),
		"a token"},
	{regexp.MustCompile(`\$(apr1|1|2[abxy]|5|6|y|argon2id?|scrypt|pbkdf2[\w-]*)\$|\{S?SHA\d*\}`),
		"a hash of a password"},
	{regexp.MustCompile(`(?i)(hooks\.slack|discord(app)?\.com/api/webhooks|webhook|/hooks?|hc-ping\.|` +
		`healthchecks|/ping|/api/push|/heartbeat|` +
		`ntfy\.|nosnch\.in|cronitor|pushover|betterstack|betteruptime|opsgenie|pagerduty|ifttt|gotify|/bot[^/\s]|` +
		`chat\.googleapis|tgram:|slack:/|discord:/|mailgun|sendgrid|sentry)[^\s]*[/=:?][\w%$-]{3,}`), "a webhook"},
	{regexp.MustCompile(`(?i)https?://\S*[?&][\w.\[\]-]*=[^&\s'"]+`), "values in a URL"},
	{regexp.MustCompile(`(?i)\b(machine|default)\s+(\S+\s+)?login\s|\b(quote\s+)?pass\s+\S|` +
		`^\s*user\s+\S+\s+\S+\s*$`), "a login"},
	{regexp.MustCompile(`(?i)^\s*(#|//|;|REM ).*\b(password|passwd|passphrase|pass|pw|pwd|secret|token|login|` +
		`credentials?|api[ _-]?key|account|pin)\b`),
		"a comment about a secret"},
	{regexp.MustCompile(`(?i)\b(password|passwd|passphrase|passcode|secret|token|api[_-]?key|access[_-]?key|` +
		`private[_-]?key|pw)["']?\s+["']?[^\s=:/$-]`), "a secret by its name"},
	{regexp.MustCompile(`(?i)\bpass(word)?:\S|--passphrase[= ]\s*\S|\bidentified\s+by\b|\|\s*base64\s+(-d|-D|` +
		`--decode)`), "a secret by its name"},
	{regexp.MustCompile(`\b(curl|wget|http|https|xh|aria2c)\s(?:.*\s)?(-[A-Za-z]*[uU][ =]*[^\s-]|` +
		`--(proxy-)?user(name)?[ =][^\s-]|--oauth2-bearer|-b[ ]?[^\s-]|--cookie[ =]|` +
		`-a[ ][^\s-]|--auth[ =][^\s-]|--(http|ftp|proxy)-(passwd|password|user)|-E[ ]\S*:)`),
		"credentials of a request"},
	{regexp.MustCompile(`\b(lftp|ncftp\w*|ftp|mosquit+o_(pub|sub)|ldap\w+|redis-cli|snmp\w+|ipmitool|smbclient|` +
		`mount\.cifs|zip|unzip|7z|swaks|` +
		`sendemail|sendxmpp|influx|htpasswd|gotify|psql|mongo\w*|rabbitmqadmin|xfreerdp|openssl|nsupdate|` +
		`cadaver|expect)\s(?:.*\s)?` +
		`(-u|-p|-P|-w|-a|-c|-U|-A|-X|-y|-ap|-au|-xp|-xu|-k|-K|-b\w*|-t|--pass\w*|--token)[ =]*[^\s-]`),
		"a credential of a program"},
	{regexp.MustCompile(`\b(mysql\w*|mariadb\w*)\s(?:.*\s)?(-p\S|--password)`), "a database's password"},
	{regexp.MustCompile(`\b(apprise|mc alias|mc config|aws configure|docker login|podman login|helm registry|` +
		`vault login|keyctl|telegram-send)\b.*\s\S`), "a login"},
	{regexp.MustCompile(`(?i)\b(proxy_set_header|fastcgi_param|uwsgi_param|request_?header\s+set|header_up|` +
		`setenv)\s+["']?[\w-]*(key|auth|token|secret|pass|cookie)[\w-]*["']?\s+["']?[^\s$/"']`),
		"a header with a secret"},
	{regexp.MustCompile(`\bsend\s+["']\S+(\\r|\\n)`), "an answer to a prompt"},
}

// header matches a header that a command sends. plain names those without a secret.
var (
	header = regexp.MustCompile(`(?:\s|^)(?:-H|--header)[ =]*(?:"([^"]+)"|'([^']+)'|([^\s'"-]\S*(?: [^\s-]\S*)?))`)
	plain  = regexp.MustCompile(`(?i)^(accept[\w-]*|content-type|user-agent|host|cache-control|pragma|title|` +
		`priority|tags|range|if-[\w-]+|referer|x-title|x-priority|connection)\s*:|:\s*$`)
)

// pair matches a name and its value: A=b, "a": "b", a => b, $a != b.
var pair = regexp.MustCompile(`([A-Za-z_][\w.-]*)["'\])}]*\s*(?:=>|:=|\?=|\+=|!=|===?|=~|=|:)\s*(\S.{0,200})?`)

// secretForm returns what a line looks like, if that is a secret, or "".
func secretForm(line string) string {
	for _, f := range forms {
		if f.pattern.MatchString(line) && !onlyFile(line, f) {
			return f.is
		}
	}
	for _, m := range header.FindAllStringSubmatch(line, -1) {
		if !plain.MatchString(m[1] + m[2] + m[3]) {
			return "a header with a secret"
		}
	}
	rest := line
	for {
		m := pair.FindStringSubmatchIndex(rest)
		if m == nil {
			break
		}
		name, value := rest[m[2]:m[3]], ""
		if m[4] >= 0 {
			value = rest[m[4]:m[5]]
		}
		if suspect(name) && !harmless(value) {
			return "a secret by its name"
		}
		rest = rest[m[3]:]
	}
	if random(line) {
		return "a random value"
	}
	return ""
}

// fileNames are settings that name a file with a secret, and settings that only sound like one.
var fileNames = regexp.MustCompile(`(?i)secrets file|password[-_]file[= ]\s*["']?[/~$]|server_?tokens|` +
	`auth_basic\S*|AuthUserFile|key[-_]?file[= ]`)

// onlyFile reports whether a form is not found without the settings that name files.
func onlyFile(line string, f form) bool {
	without := fileNames.ReplaceAllString(line, " ")
	return without != line && !f.pattern.MatchString(without)
}

// suspectParts are the parts of a name that suggest a secret; suspectWords can be anywhere in it.
var (
	suspectParts = []string{"pass", "pw", "pwd", "psw", "tok", "key", "apikey", "auth", "cred", "creds", "hook",
		"dsn", "bearer", "cookie", "session",
		"sid", "sig", "signature", "otp", "pin", "salt", "login", "p", "ping", "hc"}
	suspectWords = []string{"passw", "passphrase", "secret", "token", "credential", "webhook", "apikey",
		"privkey", "userpass"}
	innocent = regexp.MustCompile(`(?i)^(server_?tokens|pass_?environment|pin-priority|gpgkey|gpg_?check|` +
		`keyserver|keyring|.*cache_key|proxy_pass\w*|fastcgi_pass\w*|` +
		`.*key_?types?|loadcredential\w*|(part)?uuid|.*_file|.*-file|auth_basic\w*|authname|authtype|` +
		`login_?shell|ssl_session\w*|.*keepalive\w*)$`)
)

// suspect reports whether a name suggests that its value is a secret.
func suspect(name string) bool {
	lower := strings.ToLower(name)
	if innocent.MatchString(name) {
		return false
	}
	if slices.ContainsFunc(suspectWords, func(w string) bool { return strings.Contains(lower, w) }) {
		return true
	}
	for _, part := range nameParts(name) {
		if slices.Contains(suspectParts, part) || len(part) > 4 && (strings.HasSuffix(part, "pass") ||
			strings.HasSuffix(part, "pw") || strings.HasSuffix(part, "key")) {
			return true
		}
	}
	return false
}

// nameParts splits a name at punctuation and where a capital follows a small letter.
func nameParts(name string) []string {
	var out strings.Builder
	small := false
	for _, r := range name {
		if unicode.IsUpper(r) && small {
			out.WriteByte(' ')
		}
		small = unicode.IsLower(r)
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			r = ' '
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return strings.FieldsFunc(out.String(), func(r rune) bool { return r == ' ' || unicode.IsDigit(r) })
}

// notSecret are values beside a suspicious name that are none: variables, files, switches.
var notSecret = regexp.MustCompile(`(?i)^["']?(\$\{?\w+\}?|\$\((cat|<)[^)]*\)|[~/][\w./@+~-]*|file://\S*|on|off|` +
	`yes|no|true|false|none|null|basic|any|all|required|optional|default|-)?["']?` +
	`([\s;,)}\]&|].*)?$`)

func harmless(value string) bool {
	return notSecret.MatchString(value)
}

var (
	run  = regexp.MustCompile(`[A-Za-z0-9]+`)
	uuid = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	disk = regexp.MustCompile(`(?i)(uuid|by-id|by-uuid|label)[=/]\S*`)
)

// random reports whether a line has a word that nobody would choose as a name.
func random(line string) bool {
	line = disk.ReplaceAllString(line, "")
	if uuid.MatchString(line) {
		return true
	}
	return slices.ContainsFunc(run.FindAllString(line, -1), randomWord)
}

// randomWord reports whether a word mixes letters and digits as a generated one does.
func randomWord(w string) bool {
	if len(w) < 8 {
		return false
	}
	var lower, upper, digits int
	for _, r := range w {
		switch {
		case unicode.IsDigit(r):
			digits++
		case unicode.IsUpper(r):
			upper++
		default:
			lower++
		}
	}
	inside := strings.ContainsFunc(strings.TrimRight(w, "0123456789"), unicode.IsDigit)
	switch {
	case digits == 0:
		return len(w) >= 32 && lower > 5 && upper > 5
	case lower > 0 && upper > 0:
		return inside || len(w) >= 20
	}
	return len(w) >= 12 && digits > 1 && (inside || len(w) >= 16) && lower+upper > 1
}
