//go:build !race

package job_test

const many = 300
