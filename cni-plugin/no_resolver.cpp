// SPDX-License-Identifier: Apache-2.0
// libnl's objects can turn names into addresses, which the plugin never asks for. In a static program those calls would
// bring glibc's resolver and name services along: a tenth of the file, and unusable without the very glibc it was built
// with. Answering them here keeps all of that out.
#include <netdb.h>

extern "C" {

int getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**) { return EAI_FAIL; }
// NOLINTNEXTLINE(readability-function-size): the C library decides
int getnameinfo(const sockaddr*, socklen_t, char*, socklen_t, char*, socklen_t, int) { return EAI_FAIL; }
void freeaddrinfo(addrinfo*) noexcept {}
const char* gai_strerror(int) noexcept { return "no name resolution"; }
protoent* getprotobyname(const char*) { return nullptr; }
protoent* getprotobynumber(int) { return nullptr; }

}  // extern "C"
