# A registry for tests that push and pull images.

# registry: starts Debian's registry on port 80 of this host, with its files in ./registry, and sets
# $registry to its PID. It ends with the test.
registry() {
    printf '%s\n' 'version: 0.1' 'storage: {filesystem: {rootdirectory: '"$PWD/registry"'}}' 'http: {addr: ":80"}' >registry.yml
    docker-registry serve registry.yml >registry.log 2>&1 3>&- &
    registry=$!
    for _ in {1..100}; do
        (: </dev/tcp/127.0.0.1/80) 2>/dev/null && return
        sleep 0.1
    done
    cat registry.log
    return 1
}
