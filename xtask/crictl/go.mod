// Pins crictl, which the tests run, and by go.sum what it is made of.
module vhive/crictl

go 1.26.6

require sigs.k8s.io/cri-tools v1.37.0
