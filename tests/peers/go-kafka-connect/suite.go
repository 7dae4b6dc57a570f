// Package suite names the client whose own tests the script run beside it runs.
package suite

import _ "github.com/ricardo-ch/go-kafka-connect/v3/lib/connectors" // its tests are run
