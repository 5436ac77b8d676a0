// SPDX-License-Identifier: Apache-2.0
// flow ADDRESS PORT: a connected UDP socket (IPv4) that waits for an answer. One line when it is connected, and one of
// what has come of it.
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
  struct sockaddr_in to = {.sin_family = AF_INET};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  char byte;

  if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
  to.sin_port = htons((unsigned short)atoi(argv[2]));
  if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
    perror("connect");
    return 1;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  puts("connected");
  puts(recv(fd, &byte, 1, 0) < 0 ? strerror(errno) : "answered");
  pause();
  return 0;
}
