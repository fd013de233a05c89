# Reads "go test -v ./..." and prints what a person wants of it: one line for
# each package, everything of a package that failed, and, from packages that
# passed, what could not be tested on this machine (see internal/testkit).
# Without -v, go test hides the output of passing packages, skips included.
/^=== NOT TESTED/ { print; missing++ }
/^ok  \t/         { print; fflush(); kept = ""; next }
/^\?   \t/        { kept = ""; next }
/^FAIL\t/         { printf "%s%s\n", kept, $0; fflush(); kept = ""; next }
                  { kept = kept $0 "\n" }
END {
	printf "%s", kept
	if (missing) print "=== " missing " test(s) did NOT run: see the lines NOT TESTED above."
}
