# One library for users: libm2 holds all folders, so that a program needs find_package(m2) and m2::m2
# and none of our own dependencies' headers.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(folders ${M2_FOLDERS})
list(REMOVE_ITEM folders service bench quantizer)  # of the command m2 alone
list(TRANSFORM folders PREPEND m2_)
string(REPLACE ";" "," whole "${folders}")

file(WRITE ${CMAKE_BINARY_DIR}/m2_library.cc "// The folders' libraries are all there is.\n")
add_library(m2_library SHARED ${CMAKE_BINARY_DIR}/m2_library.cc)
add_library(m2::m2 ALIAS m2_library)
set_target_properties(m2_library PROPERTIES
  OUTPUT_NAME m2 EXPORT_NAME m2 VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_LIBRARY_OVERRIDE "WHOLE_ARCHIVE,${whole}")
target_compile_features(m2_library PUBLIC cxx_std_20)
target_include_directories(m2_library
  INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_link_libraries(m2_library PRIVATE $<BUILD_INTERFACE:m2_api>)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/m2)
install(TARGETS m2_library EXPORT m2Targets COMPONENT library)
install(TARGETS m2 COMPONENT command)
install(DIRECTORY include/m2 DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
install(EXPORT m2Targets NAMESPACE m2:: DESTINATION ${package_dir} COMPONENT library)
configure_package_config_file(cmake/m2Config.cmake.in m2Config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(m2ConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/m2Config.cmake ${CMAKE_BINARY_DIR}/m2ConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT library)
