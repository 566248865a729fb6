package demo

import (
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// CIBuild is one build of an application image by the forge's CI.
type CIBuild struct {
	Repository string // "demo/orders"
	Image      string // name in the catalog's graph: "orders", "shop/shop-web"
	Commit     string
	Cause      string // "push" or "dispatch"
	Digest     v1.Hash
	Ended      time.Time // zero while it runs or waits
	Err        error
}
