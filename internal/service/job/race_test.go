//go:build race

package job_test

// many is how many jobs a test of many has: the race detector makes each some ten
// times as slow.
const many = 100
