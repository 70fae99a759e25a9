{
  "targets": [
    {
      "target_name": "libbpf",
      "product_name": "libbpf",
      "sources": [
        "src/libbpf/native/addon.cc",
        "src/libbpf/native/arguments.cc",
        "src/libbpf/native/clsact.cc",
        "src/libbpf/native/handle.cc",
        "src/libbpf/native/iterator.cc",
        "src/libbpf/native/link.cc",
        "src/libbpf/native/log.cc",
        "src/libbpf/native/map.cc",
        "src/libbpf/native/map_batch.cc",
        "src/libbpf/native/netlink.cc",
        "src/libbpf/native/object.cc",
        "src/libbpf/native/poll.cc",
        "src/libbpf/native/program.cc",
        "src/libbpf/native/ring.cc",
        "src/libbpf/native/system.cc"
      ],
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
      "defines": ["NAPI_VERSION=9", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc": ["-Wall", "-Wextra", "-Wno-unused-parameter", "-fvisibility=hidden", "<!@(pkg-config --cflags libbpf libelf zlib)"],
      "cflags_cc!": ["-fno-rtti", "-std=gnu++20"],
      "libraries": ["<!@(pkg-config --libs libbpf libelf zlib)"],
      "conditions": [["1==1", { "cflags_cc": ["-std=c++17"] }]]
    },
    {
      "target_name": "netfilter",
      "product_name": "netfilter",
      "sources": [
        "src/netfilter/native/addon.cc",
        "src/netfilter/native/arguments.cc",
        "src/netfilter/native/conntrack.cc",
        "src/netfilter/native/handle.cc",
        "src/netfilter/native/queue.cc",
        "src/netfilter/native/sender.cc",
        "src/netfilter/native/table.cc",
        "src/netfilter/native/verdict.cc",
        "src/netfilter/native/watch.cc"
      ],
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
      "defines": ["NAPI_VERSION=9", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc": ["-Wall", "-Wextra", "-Wno-unused-parameter", "-fvisibility=hidden", "<!@(pkg-config --cflags libnetfilter_queue libmnl)"],
      "cflags_cc!": ["-fno-rtti", "-std=gnu++20"],
      "libraries": ["<!@(pkg-config --libs libnetfilter_queue libmnl)"],
      "conditions": [["1==1", { "cflags_cc": ["-std=c++17"] }]]
    }
  ]
}
