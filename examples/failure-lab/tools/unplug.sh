# The first attempt kills the runtime that started it; later ones do the work.
if [ "$MAESTRO_ATTEMPT" -eq 1 ]; then
    kill -9 "$PPID"
    exec sleep 60 # ended by the guard of the runtime
fi
echo "written by attempt $MAESTRO_ATTEMPT" > unplugged.md
