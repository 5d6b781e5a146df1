// Collectives between emulated devices: their results against plain loops, and the misuse that the vendor's library
// answers with a hang.
#include "nccl.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/dtype.h"
#include "device_array.h"
#include "emulator_control.h"
#include "nccl_control.h"

namespace kvgauge::testing {
namespace {

namespace emulator = cuda::emulator;

constexpr int kRanks = 3;

/// Three devices with a stream and a communicator each.
class Nccl : public ::testing::Test {
 protected:
  void SetUp() override {
    emulator::set_device_count(kRanks);
    emulator::set_nccl_patience(std::chrono::milliseconds(10'000));
    ASSERT_EQ(ncclCommInitAll(comms_, kRanks, nullptr), ncclSuccess) << ncclGetLastError(nullptr);
    for (int rank = 0; rank < kRanks; ++rank) {
      ASSERT_EQ(cudaSetDevice(rank), cudaSuccess);
      ASSERT_EQ(cudaStreamCreateWithFlags(&streams_[rank], cudaStreamNonBlocking), cudaSuccess);
    }
  }
  void TearDown() override {
    for (const ncclComm_t comm : comms_) EXPECT_EQ(ncclCommDestroy(comm), ncclSuccess);
    EXPECT_EQ(emulator::live_communicators(), 0);
    emulator::set_device_count(1);
  }

  template <class T>
  std::vector<std::unique_ptr<DeviceArray<T>>> on_each(std::size_t count, T (*value)(int rank, std::size_t i)) {
    std::vector<std::unique_ptr<DeviceArray<T>>> arrays;
    for (int rank = 0; rank < kRanks; ++rank) {
      EXPECT_EQ(cudaSetDevice(rank), cudaSuccess);
      std::vector<T> values(count);
      for (std::size_t i = 0; i < count; ++i) values[i] = value(rank, i);
      arrays.push_back(std::make_unique<DeviceArray<T>>(values));
    }
    return arrays;
  }
  template <class T>
  std::vector<T> values_of(const DeviceArray<T>& array, int rank) {
    EXPECT_EQ(cudaSetDevice(rank), cudaSuccess);
    return array.values();
  }
  /// call(rank) for every rank inside one group.
  template <class Call>
  ncclResult_t grouped(Call call) {
    EXPECT_EQ(ncclGroupStart(), ncclSuccess);
    for (int rank = 0; rank < kRanks; ++rank) static_cast<void>(call(rank));
    return ncclGroupEnd();
  }

  ncclComm_t comms_[kRanks] = {};
  cudaStream_t streams_[kRanks] = {};
};

float number(int rank, std::size_t i) { return static_cast<float>(i) * 0.37f - 2 + static_cast<float>(rank * rank); }
float element(float x) { return x; }
float element(bf16_t x) { return to_float(x); }
float element(half_t x) { return to_float(x); }
float element(std::int32_t x) { return static_cast<float>(x); }

template <class T>
T number_as(int rank, std::size_t i) {
  if constexpr (std::is_same_v<T, bf16_t>) {
    return to_bf16(number(rank, i));
  } else if constexpr (std::is_same_v<T, half_t>) {
    return to_half(number(rank, i));
  } else {
    return static_cast<T>(number(rank, i));
  }
}

TEST_F(Nccl, AllReduceSumsAndTakesMaximaInEveryType) {
  const auto check = [&]<class T>(T, ncclDataType_t type, double eps) {
    constexpr std::size_t kCount = 37;
    for (const ncclRedOp_t operation : {ncclSum, ncclMax}) {
      const auto sent = on_each<T>(kCount, number_as<T>),
                 received = on_each<T>(kCount, [](int, std::size_t) { return T{}; });
      ASSERT_EQ(grouped([&](int r) {
                  return ncclAllReduce(sent[static_cast<std::size_t>(r)]->data(),
                                       received[static_cast<std::size_t>(r)]->data(), kCount, type, operation,
                                       comms_[r], streams_[r]);
                }),
                ncclSuccess)
          << ncclGetLastError(nullptr);
      std::vector<float> first;
      for (int rank = 0; rank < kRanks; ++rank) {
        const auto got = values_of(*received[static_cast<std::size_t>(rank)], rank);
        for (std::size_t i = 0; i < kCount; ++i) {
          double want = operation == ncclSum ? 0 : -1e30, magnitude = 0;
          for (int r = 0; r < kRanks; ++r) {
            const double x = element(number_as<T>(r, i));
            want = operation == ncclSum ? want + x : std::max(want, x);
            magnitude += std::abs(x);
          }
          // two additions, each rounded to the type
          EXPECT_NEAR(element(got[i]), want, operation == ncclSum ? 2 * eps * magnitude : 0)
              << "type " << type << " rank " << rank << " at " << i;
          if (rank == 0) first.push_back(element(got[i]));
          EXPECT_EQ(element(got[i]), first[i]) << "the ranks differ at " << i;
        }
      }
    }
  };
  check(float{}, ncclFloat32, 0x1p-24);
  check(bf16_t{}, ncclBfloat16, 0x1p-8);
  check(half_t{}, ncclFloat16, 0x1p-11);
  check(std::int32_t{}, ncclInt32, 0);
}

TEST_F(Nccl, GathersScattersAndBroadcastsInPlace) {
  const auto gathered =
      on_each<float>(6, [](int rank, std::size_t i) { return static_cast<float>(10 * rank + static_cast<int>(i)); });
  ASSERT_EQ(grouped([&](int r) {
              float* all = gathered[static_cast<std::size_t>(r)]->data();
              return ncclAllGather(all + 2 * r, all, 2, ncclFloat32, comms_[r], streams_[r]);
            }),
            ncclSuccess);
  for (int rank = 0; rank < kRanks; ++rank)
    EXPECT_EQ(values_of(*gathered[static_cast<std::size_t>(rank)], rank), (std::vector<float>{0, 1, 12, 13, 24, 25}));
  ASSERT_EQ(grouped([&](int r) {
              float* all = gathered[static_cast<std::size_t>(r)]->data();
              return ncclReduceScatter(all, all + 2 * r, 2, ncclFloat32, ncclSum, comms_[r], streams_[r]);
            }),
            ncclSuccess);
  const auto second = values_of(*gathered[1], 1);
  EXPECT_EQ(second, (std::vector<float>{0, 1, 36, 39, 24, 25}));
  ASSERT_EQ(grouped([&](int r) {
              float* all = gathered[static_cast<std::size_t>(r)]->data();
              return ncclBroadcast(all, all, 6, ncclFloat32, 1, comms_[r], streams_[r]);
            }),
            ncclSuccess);
  for (int rank = 0; rank < kRanks; ++rank)
    EXPECT_EQ(values_of(*gathered[static_cast<std::size_t>(rank)], rank), second);
}

TEST_F(Nccl, SendsAndReceivesAroundARing) {
  const auto sent = on_each<std::int32_t>(4, [](int rank, std::size_t i) { return 100 * rank + static_cast<int>(i); });
  const auto received = on_each<std::int32_t>(4, [](int, std::size_t) { return -1; });
  ASSERT_EQ(grouped([&](int r) {
              ncclSend(sent[static_cast<std::size_t>(r)]->data(), 4, ncclInt32, (r + 1) % kRanks, comms_[r],
                       streams_[r]);
              return ncclRecv(received[static_cast<std::size_t>(r)]->data(), 4, ncclInt32, (r + kRanks - 1) % kRanks,
                              comms_[r], streams_[r]);
            }),
            ncclSuccess)
      << ncclGetLastError(nullptr);
  for (int rank = 0; rank < kRanks; ++rank) {
    const int from = (rank + kRanks - 1) % kRanks;
    EXPECT_EQ(values_of(*received[static_cast<std::size_t>(rank)], rank),
              (std::vector<std::int32_t>{100 * from, 100 * from + 1, 100 * from + 2, 100 * from + 3}));
  }
}

/// A rank's data is what its stream has made by then, and nobody's stream passes the collective before.
TEST_F(Nccl, StreamsOrderIt) {
  const auto data = on_each<float>(8, [](int, std::size_t) { return 0.0f; });
  const std::vector<float> ones(8, 1.0f);
  for (int rank = 0; rank < kRanks; ++rank)
    ASSERT_EQ(cudaMemcpyAsync(data[static_cast<std::size_t>(rank)]->data(), ones.data(), 32, cudaMemcpyHostToDevice,
                              streams_[rank]),
              cudaSuccess);
  ASSERT_EQ(grouped([&](int r) {
              float* own = data[static_cast<std::size_t>(r)]->data();
              return ncclAllReduce(own, own, 8, ncclFloat32, ncclSum, comms_[r], streams_[r]);
            }),
            ncclSuccess);
  ASSERT_EQ(cudaMemsetAsync(data[0]->data(), 0, 32, streams_[0]), cudaSuccess);  // behind it: rank 2 must not see zeros
  ASSERT_EQ(cudaStreamSynchronize(streams_[0]), cudaSuccess);
  EXPECT_EQ(values_of(*data[2], 2), std::vector<float>(8, 3.0f));
  EXPECT_EQ(values_of(*data[0], 0), std::vector<float>(8, 0.0f));
}

TEST_F(Nccl, AThreadForEachRank) {
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  const auto data = on_each<float>(5, [](int rank, std::size_t) { return static_cast<float>(rank + 1); });
  ncclResult_t results[kRanks] = {};
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < kRanks; ++rank)
      threads.emplace_back([&, rank] {
        static_cast<void>(cudaSetDevice(rank));
        ncclComm_t comm = nullptr;
        ncclResult_t& result = results[rank];
        result = ncclCommInitRank(&comm, kRanks, id, rank);
        float* own = data[static_cast<std::size_t>(rank)]->data();
        for (int step = 0; result == ncclSuccess && step < 4; ++step) {
          result = ncclAllReduce(own, own, 5, ncclFloat32, ncclSum, comm, streams_[rank]);
          if (result == ncclSuccess && cudaStreamSynchronize(streams_[rank]) != cudaSuccess)
            result = ncclUnhandledCudaError;
        }
        if (comm != nullptr) static_cast<void>(ncclCommDestroy(comm));
      });
  }
  for (int rank = 0; rank < kRanks; ++rank) {
    EXPECT_EQ(results[rank], ncclSuccess);
    EXPECT_EQ(values_of(*data[static_cast<std::size_t>(rank)], rank), std::vector<float>(5, 6.0f * 27));
  }
}

TEST_F(Nccl, RanksThatDisagreeAreRefused) {
  const auto data = on_each<float>(8, [](int, std::size_t) { return 1.0f; });
  EXPECT_EQ(grouped([&](int r) {
              float* own = data[static_cast<std::size_t>(r)]->data();
              return ncclAllReduce(own, own, r == 1 ? 4 : 8, ncclFloat32, ncclSum, comms_[r], streams_[r]);
            }),
            ncclInvalidArgument);
  EXPECT_STREQ(ncclGetLastError(nullptr),
               "ncclAllReduce of rank 0: rank 0 calls ncclAllReduce of 8 f32 sum, rank 1 ncclAllReduce of 4 f32 sum");
  ncclResult_t state = ncclSuccess;
  EXPECT_EQ(ncclCommGetAsyncError(comms_[0], &state), ncclSuccess);
  EXPECT_NE(state, ncclSuccess);
}

TEST_F(Nccl, RootsAndTypesThatDisagreeAreRefused) {
  const auto data = on_each<float>(8, [](int, std::size_t) { return 1.0f; });
  EXPECT_EQ(grouped([&](int r) {
              float* own = data[static_cast<std::size_t>(r)]->data();
              return ncclBroadcast(own, own, 4, r == 2 ? ncclInt32 : ncclFloat32, r == 1 ? 1 : 0, comms_[r],
                                   streams_[r]);
            }),
            ncclInvalidArgument);
  EXPECT_STREQ(
      ncclGetLastError(nullptr),
      "ncclBroadcast of rank 0: rank 0 calls ncclBroadcast of 4 f32 root 0, rank 1 ncclBroadcast of 4 f32 root 1");
}

TEST_F(Nccl, ARankThatIsMissingIsNamed) {
  emulator::set_nccl_patience(std::chrono::milliseconds(20));
  const auto data = on_each<float>(8, [](int, std::size_t) { return 1.0f; });
  EXPECT_EQ(ncclAllReduce(data[1]->data(), data[1]->data(), 8, ncclFloat32, ncclSum, comms_[1], streams_[1]),
            ncclInvalidUsage);
  EXPECT_STREQ(ncclGetLastError(nullptr),
               "ncclAllReduce of rank 1: ranks 0,2 have not made the call that rank 1 waits in; ranks of one thread "
               "need ncclGroupStart");
  EXPECT_EQ(ncclAllReduce(data[0]->data(), data[0]->data(), 8, ncclFloat32, ncclSum, comms_[0], streams_[0]),
            ncclRemoteError);
}

TEST_F(Nccl, BadArgumentsAreRefused) {
  const auto data = on_each<float>(8, [](int, std::size_t) { return 1.0f; });
  EXPECT_EQ(ncclAllReduce(data[0]->data(), data[0]->data(), 9, ncclFloat32, ncclSum, comms_[0], streams_[0]),
            ncclInvalidArgument);
  EXPECT_NE(std::string(ncclGetLastError(nullptr)).find("sendbuff: 36 bytes from offset 0 of"), std::string::npos)
      << ncclGetLastError(nullptr);
  EXPECT_EQ(ncclAllReduce(data[1]->data(), data[0]->data(), 8, ncclFloat32, ncclSum, comms_[0], streams_[0]),
            ncclInvalidArgument);
  EXPECT_NE(std::string(ncclGetLastError(nullptr)).find("is on device 1, the communicator's rank on 0"),
            std::string::npos)
      << ncclGetLastError(nullptr);
  EXPECT_EQ(ncclAllReduce(data[0]->data(), data[0]->data(), 8, ncclFloat32, ncclSum, comms_[0], streams_[1]),
            ncclInvalidArgument);
  EXPECT_EQ(ncclBroadcast(data[0]->data(), data[0]->data(), 8, ncclFloat32, 3, comms_[0], streams_[0]),
            ncclInvalidArgument);
  ncclComm_t twice[2];
  const int same[] = {0, 0};
  EXPECT_NE(ncclCommInitAll(twice, 2, same), ncclSuccess);
  EXPECT_STREQ(ncclGetLastError(nullptr), "ncclCommInitRank: ranks 0 and 1 are both on device 0");
}

TEST_F(Nccl, AnInjectedFailureReachesTheCaller) {
  const auto data = on_each<float>(8, [](int, std::size_t) { return 1.0f; });
  emulator::fail_call("ncclAllReduce", 2, cudaErrorLaunchFailure);
  EXPECT_EQ(grouped([&](int r) {
              float* own = data[static_cast<std::size_t>(r)]->data();
              return ncclAllReduce(own, own, 8, ncclFloat32, ncclSum, comms_[r], streams_[r]);
            }),
            ncclUnhandledCudaError);
  EXPECT_STREQ(ncclGetErrorString(ncclUnhandledCudaError), "unhandled cuda error");
}

}  // namespace
}  // namespace kvgauge::testing
