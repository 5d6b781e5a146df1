# The PTX of kernels, which tests run on ptxsim, and what ptxas makes of it, which scripts/kernel_report reads.
# Of the whole build, because tests/ asks for them too.
set(KVGAUGE_PTX_ARCHITECTURES 80 90 CACHE INTERNAL "what kernels are compiled to PTX for")

# kvgauge_compile_ptx(target FOLDER folder SOURCES a.cu ... [INCLUDE folder ...]): for each source and architecture, in the folder,
#   <stem>.sm80.ptx            with line numbers
#   <stem>.sm80.resources.txt  ptxas -v: registers, spills, stack, shared memory of each kernel
# A program that runs PTX depends on the target. Only where KVGAUGE_NVCC_USABLE.
function(kvgauge_compile_ptx target)
  cmake_parse_arguments(A "" "FOLDER" "SOURCES;INCLUDE" ${ARGN})
  file(MAKE_DIRECTORY ${A_FOLDER})
  list(TRANSFORM A_INCLUDE PREPEND -I)
  set(made)
  foreach(source IN LISTS A_SOURCES)
    get_filename_component(source ${source} ABSOLUTE)
    get_filename_component(stem ${source} NAME_WE)
    file(RELATIVE_PATH shown ${PROJECT_SOURCE_DIR} ${source})
    foreach(architecture IN LISTS KVGAUGE_PTX_ARCHITECTURES)
      set(base ${A_FOLDER}/${stem}.sm${architecture})
      # 20208: long double in headers of the standard library, which no kernel uses.
      add_custom_command(OUTPUT ${base}.ptx DEPENDS ${source} DEPFILE ${base}.d
        COMMAND ${KVGAUGE_NVCC} ${KVGAUGE_NVCC_FLAGS} -ptx -lineinfo -arch=compute_${architecture} -diag-suppress 20208
                -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include ${A_INCLUDE}
                -MD -MF ${base}.d ${source} -o ${base}.ptx
        COMMENT "nvcc -ptx ${shown} for sm_${architecture}" VERBATIM)
      # Only ptxas runs here, on the PTX that the tests execute. A failed command must not leave a log that looks complete.
      add_custom_command(OUTPUT ${base}.resources.txt DEPENDS ${base}.ptx
        COMMAND sh -c "\"$1\" -cubin -arch=sm_$2 -Xptxas -v \"$3.ptx\" -o \"$3.cubin\" > \"$3.log\" 2>&1 || { cat \"$3.log\" >&2; exit 1; }; rm \"$3.cubin\"; mv \"$3.log\" \"$3.resources.txt\""
                sh ${KVGAUGE_NVCC} ${architecture} ${base}
        COMMENT "ptxas -v ${shown} for sm_${architecture}" VERBATIM)
      list(APPEND made ${base}.ptx ${base}.resources.txt)
    endforeach()
  endforeach()
  add_custom_target(${target} DEPENDS ${made})
endfunction()

# kvgauge_ptx: of the product's kernels, in KVGAUGE_PTX_FOLDER. sources.txt there lists the kernels' files for scripts/kernel_report,
# with or without nvcc. Builds with sanitizers go without PTX: ptxsim checks what they would.
set(KVGAUGE_PTX_FOLDER ${PROJECT_BINARY_DIR}/ptx CACHE INTERNAL "the PTX of the product's kernels")
function(kvgauge_kernel_ptx)
  file(MAKE_DIRECTORY ${KVGAUGE_PTX_FOLDER})
  set(listed "")
  foreach(source IN LISTS ARGN)
    get_filename_component(source ${source} ABSOLUTE)
    file(RELATIVE_PATH shown ${PROJECT_SOURCE_DIR} ${source})
    string(APPEND listed "${shown}\n")
  endforeach()
  file(WRITE ${KVGAUGE_PTX_FOLDER}/sources.txt "${listed}")
  if(KVGAUGE_NVCC_USABLE AND NOT KVGAUGE_SANITIZE)
    kvgauge_compile_ptx(kvgauge_ptx FOLDER ${KVGAUGE_PTX_FOLDER} SOURCES ${ARGN})
  endif()
endfunction()
