# More moments at which processes of docs/examples/migrate are killed.

load ../pipelines/lib/helpers
load ../pipelines/lib/documents
load ../pipelines/lib/migrate

setup_file() {
    build_seeded_image
    hosts
    faulty_programs
}

teardown_file() {
    no_hosts
}

setup() {
    prepare_migration
}

teardown() {
    end_migration
}

# MIGRATE_SEEDS="N..." runs other moments.
@test "killed at 40 moments, one host runs the container" {
    local seed
    for seed in ${MIGRATE_SEEDS:-$(seq 40)}; do killed_at "$seed"; done
}
