package observe_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkLookAtRest is what a look costs when nothing has changed: ten images of the size of the demo's (one upstream,
// two bases, seven applications, 200 packages each). cpu-ms/op is the processor time of the whole process; the registry and the
// package repository run in it, too.
func BenchmarkLookAtRest(b *testing.B) {
	w := newWorld(b)
	w.main.publish("libfoo 1.0")
	var packages []string
	for i := range 200 {
		packages = append(packages, fmt.Sprintf("package-%03d 1.2.%d-1+deb12u1", i, i))
	}
	d := w.image(nil, join(debian(packages...), w.main.sources("main")))
	w.push(d, "upstream/debian:12")
	d = w.image(d, files{"d": ""})
	w.push(d, "base/debian:stable")
	d = w.image(d, files{"p": ""})
	w.push(d, "base/python:stable")
	applications, forge := "", forge{}
	for i := range 7 {
		name := fmt.Sprintf("app%d", i)
		w.push(w.image(d, files{name: ""}), "apps/"+name+":main")
		applications += strings.ReplaceAll(oneApplication, "web", name)
		forge["acme/"+name+"/Dockerfile"] = "FROM " + w.host + "/base/python:stable\n"
	}
	w.obs.Forge = forge
	w.twoBases()
	c := w.catalog(twoBases + applications)
	w.look(c)
	before := cpu(b)
	for b.Loop() {
		w.look(c)
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// cpu is the processor time that this process has taken.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
