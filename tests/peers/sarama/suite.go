// Package suite names the client whose own tests the script run beside it runs.
package suite

import _ "github.com/IBM/sarama" // its tests are run
