# Sourced: which registries are tried, and where they and Python are.
PYTHON_HOME=${CACHE:?the runner sets it}/peer-schema-registry

# The folders of the registries.
registries() {
  echo "$CACHE/apicurio-registry-3.0.9"
  [ "$FULL" = 0 ] || echo "$CACHE/apicurio-registry-2.6.13.Final"
}
