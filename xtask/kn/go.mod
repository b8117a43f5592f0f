// Pins kn, which the tests run, and by go.sum what it is made of.
module vhive/kn

go 1.22

require knative.dev/client v0.42.0
