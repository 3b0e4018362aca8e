#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Java adapters: build/adapters/{disruptor,agrona,aeron}, what they need in build/adapters/java.
set -euo pipefail

for program in java javac mvn; do
    if ! command -v "$program" >/dev/null; then
        echo "java peers: there is no '$program' (Debian: default-jdk-headless, maven)" >&2
        exit 1
    fi
done

cd "$(dirname "$0")"
out=../../../build/adapters
mkdir -p $out/java

# Only what isn't there yet: a second build works without a network.
if ! cmp -s pom.xml $out/java/pom.xml; then
    rm -rf $out/java/lib
    mvn -q -B -f pom.xml dependency:copy-dependencies "-DoutputDirectory=$(cd $out/java && pwd)/lib"
    cp pom.xml $out/java/pom.xml
fi

# peer NAME CLASS JAR [FLAG...]
peer() {
    local name=$1 class=$2 jar hdr flags
    jar=$(basename "$(echo "$out"/java/lib/"$3"-[0-9]*.jar)")
    hdr=$(basename "$(echo "$out"/java/lib/HdrHistogram-*.jar)")
    shift 3
    flags=${*@Q}

    rm -rf "$out/java/$name"
    javac -proc:none -Xlint:all,-processing,-path,-classfile -XDignore.symbol.file -nowarn -implicit:class \
        -cp "$out/java/lib/$hdr:$out/java/lib/$jar" -sourcepath . -d "$out/java/$name" "$class.java"
    cat >"$out/$name.new" <<END
#!/usr/bin/env bash
# Written by bench/peers/java/build.sh
here=\$(cd "\$(dirname "\${BASH_SOURCE[0]}")" && pwd)
exec java -Xms1g -Xmx1g -XX:+UseSerialGC -XX:+AlwaysPreTouch \\
    -XX:+PerfDisableSharedMem -XX:+UnlockDiagnosticVMOptions -XX:GuaranteedSafepointInterval=0 $flags \\
    -Dbench.launcher="\$here/$name" \\
    -cp "\$here/java/$name:\$here/java/lib/$hdr:\$here/java/lib/$jar" Harness $class "\$@"
END
    chmod +x "$out/$name.new"
    mv "$out/$name.new" "$out/$name"
}

peer disruptor Disruptor disruptor
peer agrona Agrona agrona -Dagrona.disable.bounds.checks=true --add-opens java.base/jdk.internal.misc=ALL-UNNAMED
peer aeron Aeron aeron-all -Dagrona.disable.bounds.checks=true --add-opens java.base/jdk.internal.misc=ALL-UNNAMED \
    -Daeron.pre.touch.mapped.memory=true
