// Package suite names the client whose own tests the script run beside it runs.
package suite

import _ "github.com/twmb/franz-go/pkg/kgo" // its tests are run
