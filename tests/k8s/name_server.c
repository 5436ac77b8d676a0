// SPDX-License-Identifier: Apache-2.0
// A name server for pods, linked statically: every name has the address that it was started with, and no other kind of
// record. UDP alone. Usage: name_server PORT ADDRESS4
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kHeader = 12, kTail = 4 };

// The length of the answer into `packet`, which holds a question; 0: it is none.
static size_t answer(unsigned char *packet, size_t length, const struct in_addr *address) {
  size_t end = kHeader;
  while (end < length && packet[end] != 0) end += packet[end] + 1U;
  if (length < kHeader || end + 1 + kTail > length) return 0;
  end += 1 + kTail;
  const int wanted = packet[end - 3] == 1;  // A
  packet[2] = 0x85;                         // an answer, with authority, to a question that wants recursion
  packet[3] = 0x80;
  memset(packet + 6, 0, 6);
  if (!wanted) return end;
  packet[7] = 1;
  const unsigned char record[] = {0xc0, kHeader, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4};
  memcpy(packet + end, record, sizeof(record));
  memcpy(packet + end + sizeof(record), address, sizeof(*address));
  return end + sizeof(record) + sizeof(*address);
}

int main(int argc, char **argv) {
  struct in_addr address;
  if (argc != 3 || inet_pton(AF_INET, argv[2], &address) != 1) return 2;
  const int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  const struct sockaddr_in6 place = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)atoi(argv[1]))};
  if (fd < 0 || bind(fd, (const struct sockaddr *)&place, sizeof(place)) != 0) return 1;
  for (;;) {
    unsigned char packet[1024];
    struct sockaddr_in6 client;
    socklen_t size = sizeof(client);
    const ssize_t got = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&client, &size);
    const size_t length = got > 0 ? answer(packet, (size_t)got, &address) : 0;
    if (length > 0) sendto(fd, packet, length, 0, (const struct sockaddr *)&client, size);
  }
}
