package ui

import "strings"

// change shows an old and a new line, or value, behind their signs: in colour, what differs in two
// that are alike is set off. Words are not divided: those that are a host's own are replaced later.
func (s style) change(oldSign, before, newSign, after string) (red, green string) {
	a, b := words(before), words(after)
	first := 0
	for first < len(a) && first < len(b) && a[first] == b[first] {
		first++
	}
	last := 0
	for last < len(a)-first && last < len(b)-first && a[len(a)-1-last] == b[len(b)-1-last] {
		last++
	}
	show := func(sign string, list []string, colour, strong func(...any) string) string {
		same, end := strings.Join(list[:first], ""), strings.Join(list[len(list)-last:], "")
		other := strings.Join(list[first:len(list)-last], "")
		whole := same + other + end
		if other == "" || 3*(len(same)+len(end)) < len(whole) {
			return colour(sign + whole)
		}
		text := strong(other)
		if same = sign + same; same != "" {
			text = colour(same) + text
		}
		if end != "" {
			text += colour(end)
		}
		return text
	}
	return show(oldSign, a, s.red, s.redStrong), show(newSign, b, s.green, s.greenStrong)
}

// words splits a text after and before each byte that ends a word, so that addresses and paths are
// words.
func words(text string) (list []string) {
	begin := 0
	for i := range len(text) {
		if strings.IndexByte(" \t\"'`,;=(){}[]<>|", text[i]) < 0 {
			continue
		}
		if begin < i {
			list = append(list, text[begin:i])
		}
		list = append(list, text[i:i+1])
		begin = i + 1
	}
	if begin < len(text) {
		list = append(list, text[begin:])
	}
	return list
}

// pairs returns, for each line of a diff, the line that takes its place or whose place it takes, or
// -1. Where a block has as many new lines as old ones, these are in pairs, else two at its middle.
func pairs(lines []diffLine) []int {
	of := make([]int, len(lines))
	for i := range of {
		of[i] = -1
	}
	count := func(from int, sign byte) (n int) {
		for from+n < len(lines) && lines[from+n].sign == sign {
			n++
		}
		return n
	}
	for i := 0; i < len(lines); i++ {
		gone := count(i, '-')
		if gone == 0 {
			continue
		}
		middle := i + gone
		switch added := count(middle, '+'); {
		case added == gone:
			for ; i < middle; i++ {
				of[i], of[i+gone] = i+gone, i
			}
		case added > 0:
			of[middle-1], of[middle] = middle, middle-1
		}
		i = middle - 1
	}
	return of
}
