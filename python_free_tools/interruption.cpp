#include "interruption.h"

#include <signal.h>
#include <unistd.h>

#include <csignal>

#include "cli.h"

namespace kvgauge::cli {
namespace {

volatile std::sig_atomic_t graceful = 0, requests = 0;

void on_signal(int) {
  if (!graceful || requests > 0) ::_exit(kInterrupted);
  requests = 1;
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: a read that waits for input returns
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  ::sigaction(SIGXFSZ, &action, nullptr);
}

GracefulInterruption::GracefulInterruption() { graceful = 1; }
GracefulInterruption::~GracefulInterruption() { graceful = 0; }
bool GracefulInterruption::requested() const { return requests > 0; }

}  // namespace kvgauge::cli
