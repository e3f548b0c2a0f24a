package run

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/mirrorform/mirrorform/engine"
)

// Save writes the plan to a file that only its owner can read: a plan may contain details that are
// not meant for everyone.
func (p *Pass) Save(file string) error {
	saved, err := p.Saved(engine.NewNonce())
	if err != nil {
		return fmt.Errorf("%s was not written: %w", file, err)
	}
	text, err := saved.Encode()
	if err != nil {
		return err
	}
	if err := WriteAtomically(file, text, 0o600); err != nil {
		return err
	}
	p.observer.Note(fmt.Sprintf("The plan is saved. To apply exactly this plan: mirrorform apply %s", file))
	return nil
}

// Saved returns the saved form of the plan, with digests under a salt.
func (p *Pass) Saved(salt string) (*engine.SavedPlan, error) {
	limit, err := p.selection.saved(p.sources.Dir)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(p.sources.Dir)
	if err != nil {
		return nil, err
	}
	return engine.Save(p.Plan, engine.SaveOptions{
		Version: p.sources.Version, Time: time.Now(), Salt: salt,
		Limit: limit, Shard: p.selection.Shard.String(), Target: p.selection.Target, Replace: p.selection.Replace, Directory: dir,
	})
}

// ReadSaved reads a saved plan.
func ReadSaved(file string) (*engine.SavedPlan, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	saved, err := engine.DecodeSaved(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return saved, nil
}
