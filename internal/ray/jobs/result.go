package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// ResultLines is within how many of the last lines of a log Result looks for the
// result: about 2 MB. A log may have gigabytes, and most jobs return nothing.
const ResultLines = 20_000

// ErrNoResult is a job whose run returned no result.
var ErrNoResult = errors.New("the job wrote no line " + resultPrefix + "{json}")

// Result returns the JSON of the last line RAY_JOB_RESULT={json} that the job's last
// run wrote. Other errors than ErrNoResult say what is wrong with it, or with
// the log.
func (e *Engine) Result(ctx context.Context, job ray.Job) ([]byte, error) {
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return nil, err
	}
	for _, lines := range []int{1000, ResultLines} {
		var scan *logScan
		err := api.Log(ctx, job, lines, func(r io.Reader) error {
			scan = newLogScan(job)
			_, err := io.Copy(scan, r)
			return err
		})
		if err != nil {
			return nil, err
		}
		whole := scan.lines < lines
		if text, ok := scan.found(whole); ok {
			return checkResult(text)
		}
		if whole || scan.marked {
			break
		}
	}
	return nil, ErrNoResult
}

// checkResult checks what follows the prefix.
func checkResult(text []byte) ([]byte, error) {
	if len(text) > MaxResult {
		return nil, fmt.Errorf("it has more than %d bytes", MaxResult)
	}
	if !json.Valid(text) {
		return nil, errors.New("it is not valid JSON")
	}
	return text, nil
}
