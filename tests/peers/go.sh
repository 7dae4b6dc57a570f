# Sourced by the peers written in Go: finds a Go that is new enough, or brings one through the Go module proxy.
#   go_at_least 1.26.0    sets GO; what Go downloads and builds is kept in $CACHE/go
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/needs.sh"

export GOPATH=$CACHE/go GOCACHE=$CACHE/go/build GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOWORK=off
export -n GOROOT 2>/dev/null || true

go_at_least() {
  local wanted=$1 found
  [ -x "$(command -v go)" ] || PATH=$PATH:/usr/local/go/bin
  need_commands go=golang-go
  found=$(go env GOVERSION 2>/dev/null)
  if [ "$(printf '%s\n' "go$wanted" "$found" | sort -V | head -1)" = "go$wanted" ]; then
    GO=$(command -v go)
    return
  fi
  # Debian's Go is older than what the clients are written for. Since 1.21 each Go is a module too.
  local architecture module folder
  architecture=$(go env GOOS)-$(go env GOARCH)
  module=golang.org/toolchain@v0.0.1-go$wanted.$architecture
  folder=$GOPATH/pkg/mod/$module
  if [ ! -x "$folder/bin/go" ]; then
    echo "fetching Go $wanted" >&2
    (cd / && GOFLAGS= go mod download "$module")
    # Modules hold no modes; the mode of a downloaded folder is read-only.
    chmod -R u+w "$folder"
    chmod +x "$folder"/bin/* "$folder"/pkg/tool/*/* 2>/dev/null || true
  fi
  GO=$folder/bin/go
  export GOROOT=$folder
}
