
# Offers the volumes of the archive on the command line. Its list is foreign input: only characters
# that no expansion interprets are accepted.
function __fish_ckpt_unpack_volumes
    for word in (commandline -op)[2..-1]
        test -f $word; or continue
        ckpt-unpack --list -- $word 2>/dev/null </dev/null |
            string replace -rf '^.* volumes/([A-Za-z0-9][A-Za-z0-9_.-]*)\.tar$' '$1='
    end
end
complete -c ckpt-unpack -l volume -r -a '(__fish_ckpt_unpack_volumes)'
