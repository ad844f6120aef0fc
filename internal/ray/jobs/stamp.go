package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// MetadataPrefix is reserved in a job's metadata: the stamp's keys begin with it.
const MetadataPrefix = "terraform.ray-iac/"

// Keys of the stamp in a job's metadata. These, and BaseID, are permanent.
const (
	stampOwner   = MetadataPrefix + "owner"
	stampName    = MetadataPrefix + "name"
	stampDigest  = MetadataPrefix + "digest"
	stampAttempt = MetadataPrefix + "attempt"
)

// Stamp says in a job's metadata whose submission it is.
type Stamp struct {
	// Owner is the configuration's owner; empty (the key is absent) matches only
	// empty.
	Owner string
	// Name is the job's name; empty where the user chose the submission id.
	Name string
	// Digest is Inputs.Digest.
	Digest string
	// Attempt counts from 1.
	Attempt int
}

// StampOf reads a job's stamp; ok is false for a job without a whole one.
func StampOf(metadata map[string]string) (s Stamp, ok bool) {
	attempt, err := strconv.Atoi(metadata[stampAttempt])
	if err != nil || attempt < 1 || metadata[stampDigest] == "" {
		return Stamp{}, false
	}
	return Stamp{metadata[stampOwner], metadata[stampName], metadata[stampDigest], attempt}, true
}

// Mark returns metadata with the stamp in it.
func (s Stamp) Mark(metadata map[string]string) map[string]string {
	out := make(map[string]string, len(metadata)+4)
	maps.Copy(out, metadata)
	if s.Owner != "" {
		out[stampOwner] = s.Owner
	}
	if s.Name != "" {
		out[stampName] = s.Name
	}
	out[stampDigest] = s.Digest
	out[stampAttempt] = strconv.Itoa(s.Attempt)
	return out
}

// Same reports whether both stamp the same work, whatever the attempt.
func (s Stamp) Same(o Stamp) bool {
	return s.Owner == o.Owner && s.Name == o.Name && s.Digest == o.Digest
}

// BaseID is the submission id of the first attempt: the name and ten hex digits
// of the SHA-256 over owner, a zero byte and the digest.
func BaseID(owner, name, digest string) string {
	sum := sha256.Sum256([]byte(owner + "\x00" + digest))
	return name + "-" + hex.EncodeToString(sum[:5])
}

// AttemptID is the submission id of an attempt: base, base-2, base-3.
func AttemptID(base string, attempt int) string {
	if attempt <= 1 {
		return base
	}
	return base + "-" + strconv.Itoa(attempt)
}

// attemptOf reads the attempt out of an id of base's sequence.
func attemptOf(base, id string) (attempt int, ok bool) {
	if id == base {
		return 1, true
	}
	number, found := strings.CutPrefix(id, base+"-")
	if !found {
		return 0, false
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 2 || strconv.Itoa(n) != number {
		return 0, false
	}
	return n, true
}

// stamped reports whether an id has the form that BaseID and AttemptID give.
func stamped(id string) bool {
	if head, number, found := cutLast(id, "-"); found {
		if n, err := strconv.Atoi(number); err == nil && n >= 2 && strconv.Itoa(n) == number && digestTail(head) {
			return true
		}
	}
	return digestTail(id)
}

func digestTail(id string) bool {
	_, tail, found := cutLast(id, "-")
	return found && len(tail) == 10 && strings.Trim(tail, "0123456789abcdef") == ""
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Ours reports whether job carries a stamp for the same work as want.
func Ours(job ray.Job, want Stamp) bool {
	got, ok := StampOf(job.Metadata)
	return ok && got.Same(want)
}
